"""The pytest plugin, run by pytest itself, beside the plugins and clocks that people have."""
