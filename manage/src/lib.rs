//! Who watches: configuration, and the state shown to people and programs.

pub mod api;
pub mod config;
pub mod event;
