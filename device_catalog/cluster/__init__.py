"""
Several catalogs at one database, which behave as one.

`joining` lets a process take part, `turns` has one of all write at a time, `news` takes over what others changed,
`rounds` keeps what they tell each other, `member` hears for whom they heard and knows who leads.
"""
