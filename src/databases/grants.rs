//! What somebody may not do, with what grants it.

/// Of what the server says (`true` where he may), each with the statement that grants it; nothing where he may do all of it.
pub fn missing(user: &str, wanted: &[(&str, String)]) -> Result<(), String> {
    let grants: Vec<&str> =
        wanted.iter().filter(|(may, _)| *may != "true").map(|(_, grant)| grant.as_str()).collect();
    match grants.as_slice() {
        [] => Ok(()),
        grants => Err(format!("{user} may not: {}", grants.join("; "))),
    }
}
