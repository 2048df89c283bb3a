"""The subcommands that `herdless` finds by entry points: `verify`, `soak`, and what `trace --tlc` calls."""
