"""
Who may do what: operators with roles and tokens, devices with certificates, and the trail of what was done.

`operators` and `enrolments` decide, `audit` writes down, `certificates` reads what a caller shows, `tls` makes the
server ask for it; `arguments` are the command's options about all of it.
"""
