//! Hands the version, the commit and the date to `plugin_define!`.

fn main() {
    gst_plugin_version_helper::info();
}
