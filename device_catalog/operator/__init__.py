"""
The operator's terminal: register meters, change what they do, watch what they measure (console command ``tresma``).

- `__main__`: the commands and their options; the only place that decides an exit status.
- `settings`: which catalog, with which token: options, environment, file.
- `catalog`: the REST API seen from here.
- `edits`: files and ``key=value`` edits turned into a configuration, and the difference shown (pure).
- `devices`: ``tresma devices ...``.
- `numbers`, `fleet`, `occurrences`: what a watcher knows of a fleet: frames, gaps, duplicates, latency, presence,
  and what happened (pure: messages and times go in).
- `subscriber`: the two brokers.
- `table`: a fleet drawn for a terminal.
- `watch`: ``tresma watch``.
- `network_arguments`: ``tresma network ...``: `network_import`, `network_check`, `network_draw`, `network_store`.
- `report`: ``tresma report``, with `report_data`, `report_limits` (pure), `report_plots` and `report_page`.
"""
