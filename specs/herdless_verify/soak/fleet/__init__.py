"""`herdless soak --fleet`: several processes that share a cache on a real server, while everything goes wrong that can.

proxy      between each process and the server, so that its connections can be silenced and cut
server     the server: one that is started here, or the user's
truth      what the loaders of all processes read
diary      what each process writes down: lookups, loads, and what it asks the store to write
worker     one of the processes
storm      what is done to them
chain      the records as the machine must have made them
judge      all of it together: whether what was written down can be right
run        the whole
"""
