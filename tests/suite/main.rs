//! Offline tests that drive the real `picobot` binary.

mod sandbox;
