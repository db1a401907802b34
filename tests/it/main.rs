//! sidekey as its callers see it: the built binary, run on a configuration
//! file, spoken to over sockets.

mod support;

mod answers;
mod callers;
mod check;
mod clocks;
mod commands;
mod connect;
mod connect_bound;
mod contract;
mod dead_owner;
mod demo;
mod deploy_files;
mod deploy_image;
mod deploy_watch;
mod drain;
mod edits;
mod endings;
mod expect;
mod expiry;
mod framing;
mod hostile;
mod http2;
mod http2_frames;
#[cfg(feature = "fault-points")]
mod kills;
mod mass;
mod matrix;
mod max_body;
mod observed;
mod page;
mod paths;
mod real_browser;
mod real_callers;
mod real_http2;
mod real_nginx;
mod real_oidc;
mod real_page;
mod real_prometheus;
mod real_session;
mod real_streams;
mod redaction;
mod refresh;
mod reload;
mod reload_keeps;
mod replay;
mod resting;
mod store;
mod store_bad_disk;
mod store_full;
mod token_endpoint;
mod websocket;
mod who;
