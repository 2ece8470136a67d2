"""Assessment: what recorded data is good for, and what this machine can make of it.

Of a symbol-day of Crypto Lake files, or a golden sample: `day` puts together what a pass over the
files (`acquire.facts`, `times`) and a replay that writes nothing (`pipeline.rehearse`, `watch`)
find; `clock` and `completeness` say what the times tell; `words`, `figures` and `page` show it. Of
the machine: `feasibility` measures. `judge` holds both against `thresholds`. Nothing is imported
here: `feasibility_probe` runs in processes whose memory is measured.
"""
