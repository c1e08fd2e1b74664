//! Who watches: configuration, state for people and programs.
