//! Snapshots live in the top-level `snapshots/<room>/` folder.

/// Asserts that `$value` equals `snapshots/$room/$name.snap`.
#[macro_export]
macro_rules! snap {
    ($room:literal, $name:expr, $value:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/", $room));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($name, $value));
    }};
}
