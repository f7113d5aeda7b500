"""The load client and its workloads: what one edge can do on this machine, measured from outside.

Two commands: `python -m loadtest` runs a scenario and writes a report, `python -m loadtest.bench` measures fixed
workloads. `bench` starts a nats-server, one edge and its clients as processes of their own and prints what was
reached. Nothing in here is imported by the service.

Pure: `wire` (what arrives, counted and checked), `latency` (percentiles), `payload` (events of one size), `tally`
(counts that are reported). Child processes: `readers`, `publisher`; `child` and `worker` are their parent's side, and
`servers` starts what is measured. `procfs` and `machine` ask the kernel. `measure` is what a workload is made of,
`idle` and `workloads` are the workloads, `result` judges, `report` prints, `bench` is the command.

Scenarios: `scenario` reads the files in `scenarios/`; pure are also `subscriptions` (who has which topics, and is due
what), `roamer` (one client), `roamed` (counts that are reported), `sample` (one point of each curve) and `outcome`
(aims, faults). Child processes: `roaming` (clients that come back by themselves), `library` (the same with
`slipstream.client`, behind the one address of `ingress`) and `producer` (each event until it is acknowledged);
`restartable` is a server that may be ended and started again, which `kills` does. `crowd` has all clients, `sampler`
looks at everything once a second, `establish` opens connections as fast as they go (with wrk), `drive` runs it all.
`display` shows it meanwhile, `markdown` and `plots` write the report.

Commands of their own, on the same parts (`command`): `peers` (other servers in the same run), `laggards` (readers that
stop), `lag` (how late the edge's loop is), `storm` (everybody comes back at once; its clients are `returning`),
`filters` (what an event costs in the index), `allocations` (of the heap, for each delivery; counted in `counted`).
`monitoring` asks the servers about themselves, `compiled` compiles what is in C, which is in `baseline/`.
"""
