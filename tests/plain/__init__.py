"""What lobproof must do, in plain Python: the specification that its results are held against.

Dicts, lists, sorts, `Decimal` and `json`: slow, and short enough to be read. Of lobproof it takes
only what names things: the codes and columns of ``schema``, ``Instrument`` and ``Policy``. Whoever
wants to know a rule reads it here, in this order:

1. :mod:`plain.messages`: what an event, a message and a vendor row are, and how to write some down
2. :mod:`plain.chain`: which loss, repeat or reset the ids of a stream show
3. :mod:`plain.order`: which time an event has; where a vendor row and a trade stand
4. :mod:`plain.book`: what a book is, and what of it is trusted
5. :mod:`plain.replay`: what each message does to the book, its trust, findings, minutes and states
6. :mod:`plain.lake_replay`: what a vendor row does to them, where the ids show no loss
7. :mod:`plain.coverage`: when each stream of a day was heard
8. :mod:`plain.decoder`, :mod:`plain.recording`: what a recording says; the book after each message,
   and what Crypto Lake would have of it

:mod:`plain.markets` makes random feeds whose truth is known, with the faults of real ones.
"""
