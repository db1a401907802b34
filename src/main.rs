//! The binary: everything is in the library, so that tests and fuzz targets
//! can reach it.

#[global_allocator]
static ALLOCATOR: sidekey::base::recycle::Recycling = sidekey::base::recycle::Recycling;

fn main() -> std::process::ExitCode {
    sidekey::cli::main()
}
