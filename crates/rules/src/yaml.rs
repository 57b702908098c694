//! YAML with positions, and a reader that reports every problem at once.
