"""The project's own papers: extras, the page of the package index, CONTRIBUTING, the files that CI reads."""
