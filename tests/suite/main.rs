//! The offline suite: rules about the source, and the real binary against servers over loopback.
//!
//! One test binary, so that it links once. Needs no secret and no network; `support` holds the other sides of the wire.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are test code.

mod approvals;
mod architecture;
mod background;
mod chat;
mod compression;
mod contract;
mod crash;
mod dialogs;
mod door;
mod durability;
mod fallbacks;
mod feishu;
mod images;
mod limits;
mod matrix;
mod messages;
mod own_files;
mod sandbox;
mod schemas;
mod sdk;
mod secrets;
mod send;
mod startup;
#[allow(dead_code)] // Offers whole peers; not every part is in use at all times.
mod support;
mod tls;
mod tools_page;
mod turns;
mod web;
