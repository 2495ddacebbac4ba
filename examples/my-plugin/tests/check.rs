//! The plugin answers or refuses every request. Cases that campaigns found are in `cases/` and run
//! first.

#[test]
fn it_answers_or_refuses_whatever_it_is_asked() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let check = cc_lb_fuzz::check_plugin(my_plugin::PLUGIN).corpus(cases);
    check.cases(2_000).run().expect("the plugin is sound");
}
