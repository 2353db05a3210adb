//! Services that nobody asks for any more: what is true of them stays for a while, and not for ever.

use rollbackd::{
    domain::{policy::Policy, service::ServiceId},
    units::Span,
};

use super::{
    brief,
    place::{HEALTHY, OUTAGE},
    policy::{fleet, id},
    town::{Town, Windows, failed},
};

fn known(town: &Town) -> Vec<&str> {
    town.fleet.states.keys().map(ServiceId::name).collect()
}

#[test]
fn who_left_long_ago_is_forgotten_and_who_comes_back_before_has_its_history() {
    let mut policy = fleet(&["cart", "mail", "shop"]);
    policy.fleet.forget_left_after = Span::hours(2);
    let all = policy.clone();
    brief(policy, |town| {
        let cart = id("cart");
        town.deploy_to("cart", "v2", HEALTHY);
        town.run("40m");
        let ledger = town.fleet.states[&cart].ledger.clone();
        town.adopts(|policy| policy.services.retain(|id, _| id.name() == "shop"));
        assert_eq!(town.count("\"left\""), 1, "told once, of both");
        town.run("90m");
        town.adopts(|policy| policy.services.clone_from(&all.services));
        assert_eq!(town.fleet.states[&cart].ledger, ledger, "its known-good revisions too");
        town.run("10m");
        town.adopts(|policy| policy.services.retain(|id, _| id.name() != "cart"));
        town.run("100m");
        assert_eq!(known(town), ["cart", "mail", "shop"], "it began anew, and mail is here again");
        // A crash changes nothing about when it left.
        town.crash(Windows::Kept, false);
        town.run("15m");
        assert_eq!(known(town), ["cart", "mail", "shop"]);
        town.run("10m");
        assert_eq!(known(town), ["mail", "shop"]);
        town.crash(Windows::Kept, false);
        assert_eq!(known(town), ["mail", "shop"]);
        town.adopts(|policy| policy.services.clone_from(&all.services));
        town.run("10m");
        assert!(town.fleet.states[&cart].past.each().next().is_none());
    });
}

#[test]
fn who_is_not_found_any_more_has_left_and_an_answer_without_a_change_takes_nobody_away() {
    brief(fleet(&["cart", "shop"]), |town| {
        let without_cart =
            |policy: &mut Policy| policy.services.retain(|id, _| id.name() == "shop");
        town.finds(without_cart, &[]);
        assert_eq!(town.count("\"left\""), 0);
        town.finds(without_cart, &["cart is gone"]);
        assert_eq!(town.count("\"left\""), 1);
    });
}

#[test]
fn who_left_with_an_open_incident_is_not_forgotten() {
    let mut policy = fleet(&["cart", "mail", "pay", "shop"]);
    policy.fleet.forget_left_after = Span::hours(2);
    brief(policy, |town| {
        let cart = id("cart");
        town.deploy_to("cart", "v2", OUTAGE);
        town.places.get_mut(&cart).unwrap().outcomes.push_back(failed("no", false));
        town.run("3m");
        town.adopts(|policy| policy.services.retain(|id, _| id.name() == "shop"));
        town.run("5h");
        assert_eq!(known(town), ["cart", "shop"]);
        town.crash(Windows::Kept, false);
        town.run("1m");
        assert!(town.fleet.open().any(|(of, _)| *of == cart));
    });
}
