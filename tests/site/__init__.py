"""The site of docs/, built and read as its readers do: with every link, in a real browser."""
