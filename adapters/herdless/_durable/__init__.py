"""The parts of `herdless.durable_objects`: what the runtime gives, what is stored, what crosses RPC, who calls."""
