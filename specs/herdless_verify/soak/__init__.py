"""What `herdless soak` is made of: real load with faults in real time, and judges that see every step and every answer.

A run is a row of rounds. Each round makes a cache under another policy, and has two phases, as in TigerBeetle's
simulator: a storm, in which everything goes wrong that can and nothing wrong may be told to anybody; then a calm, in
which no fault is added and everything must come to an end. All choices come from the seed. The order in which threads
and tasks run does not, so a seed repeats what was tried and not what happened.
"""
