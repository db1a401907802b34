//! The binary: everything is in the library, so that tests and fuzz targets
//! can reach it.

fn main() -> std::process::ExitCode {
    sidekey::cli::main()
}
