"""What in docs/ is generated, so that what a reader is shown is what is there: `python -m docs.generate [--check]`.

Each module here makes pages: `pages()` gives the files as they should be, with what is written by hand kept.
"""
