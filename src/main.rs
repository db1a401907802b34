//! The binary: everything is in the library, so that tests and fuzz targets
//! can reach it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    sidekey::cli::main()
}
