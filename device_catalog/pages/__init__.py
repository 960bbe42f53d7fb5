"""
The catalog for people: pages of HTML made here, which need no JavaScript and nothing from elsewhere.

They only read. Whoever logs in does it with an operator's token; what he may see is decided where the REST interface
decides it. Every text is escaped by the templates, and the content security policy lets nothing run.
"""
