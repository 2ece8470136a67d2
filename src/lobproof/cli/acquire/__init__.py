"""The ``lobproof acquire`` commands, one module each; `options` and `folder` are what they share.

`options`: where and what to ask the bucket; `folder`: which days of a folder, and remedies.
"""
