"""The specification in specs/, read and run: TLC, its counterexamples, and the graphs and traces compared with it.

configurations    every run of the model checker, as configurations.toml lists them
tla, values       the text of the specification, and the values that TLC prints
toolbox, check    running TLC                                python -m herdless_verify.tlc
counterexample    what it finds, as a table
graph             the code against the specification         python -m herdless_verify.tlc.graph
watched           the same under any policy, step by step
mistaken          whether each formula refutes a specification that breaks it
traces            whether what adapters did is a behaviour   python -m herdless_verify.tlc.traces
moves, scale      how a trace becomes one
"""
