"""The client of Crypto Lake's bucket: what is there, and its bytes, whatever they mean.

Where the bucket is and who asks (`connection`), what it has (`catalogue`, `listing`), one object
into a file (`transfer`), how a request is made, paced and retried (`http`, `remote`,
`concurrency`), what comes instead of an answer (`failures`), and how much may come (`limits`).
Not here: what a file holds (the package above), and where files are kept (`acquire`).
"""
