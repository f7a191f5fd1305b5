//! The configuration: file lookup, `.env`, placeholders, path expansion; one file per section.

mod secret;

pub use secret::Secret;
