"""The TLA+ specification, and the bridge between it and the code.

Imports in here are relative, and files are found beside the modules: a wheel may carry it all under another name.

    CacheEntry.tla            the machine of core/herdless_core/_machine.py, and the world around one key
    CacheEntryInv.tla         what it promises
    Reach.tla                 what must be possible, and what is not promised
    Keyspace.tla              what spans keys: generations and room
    Durable.tla               entries in storage, whose loads may outlive their owner
    Watched.tla               the same, told step by step (watched.py), and with mistakes (mistaken.py)
    TraceCacheEntry.tla       whether recorded traces are behaviours of it (traces.py, moves.py, scale.py)
    configurations.toml       every run of the model checker     python -m specs.tlc
    graph.py                  the code against the specification python -m specs.graph
    contracts.py              what CrossHair confirms            python -m specs.symbolic
    samples.py                what the contracts are asked, on a sample
    mutants.toml              mistakes that must be found        python -m specs.mutants
"""
