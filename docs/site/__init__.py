"""The site: all of docs/ as pages that can be searched, with the machine to play with. `python -m docs.site`.

What is vendored comes from npm by docs/site/package-lock.json, once; then neither building nor reading needs a network.
"""
