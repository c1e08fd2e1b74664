//! A thousand sites.
