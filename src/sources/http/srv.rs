//! SRV records: which hosts serve something, and at which ports. The system's resolver knows addresses only, so that
//! the name servers that it uses are asked here.
//!
//! They are asked over TCP alone: each must serve it (RFC 7766), an answer that names a hundred pods does not fit
//! elsewhere, and nobody but the server can answer. A name is asked for as it is written, without a search list.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE, rdata::RData};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{Options, Resolver};

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// As many as the C library takes of that file.
const SERVERS_MAX: usize = 3;
/// A connection carries one question, so that any number does.
const QUESTION: u16 = 1;

/// Hosts and ports of whoever serves what is named so, within the time that is meant for a name.
pub async fn services(name: &str, options: &Options) -> io::Result<BTreeSet<(String, u16)>> {
    let text = tokio::fs::read_to_string(RESOLV_CONF).await.unwrap_or_default();
    asked_of(&name_servers(&text), name, Resolver::of(options).within).await
}

/// The servers that a `resolv.conf` names; as in the C library the machine itself where it names none.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next());
        Some(SocketAddr::new(address?.parse::<IpAddr>().ok()?, 53))
    };
    let servers: Vec<SocketAddr> = text.lines().filter_map(server).take(SERVERS_MAX).collect();
    if servers.is_empty() { vec![SocketAddr::from(([127, 0, 0, 1], 53))] } else { servers }
}

/// One after the other, each within its part of the time; the first that answers is believed.
async fn asked_of(
    servers: &[SocketAddr],
    name: &str,
    within: Duration,
) -> io::Result<BTreeSet<(String, u16)>> {
    let question = question(name)?;
    let each = within / u32::try_from(servers.len().max(1)).unwrap_or(1);
    let mut fault = io::Error::other("no name server is known");
    for server in servers {
        let answer = timeout_at(Instant::now() + each, ask(*server, &question)).await;
        let read = match answer {
            Ok(Ok(answer)) => return read(&answer),
            Ok(Err(fault)) => fault,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        let what = format!("the name server {} does not answer over TCP: {read}", server.ip());
        fault = io::Error::new(read.kind(), what);
    }
    Err(fault)
}

fn question(name: &str) -> io::Result<Vec<u8>> {
    let unusable = |fault| io::Error::new(io::ErrorKind::InvalidInput, format!("{fault}"));
    let name = Name::new(name).map_err(unusable)?;
    let mut packet = Packet::new_query(QUESTION);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::SRV), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(unusable)
}

async fn ask(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    // Its length is told in two bytes: it cannot be large.
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn read(answer: &[u8]) -> io::Result<BTreeSet<(String, u16)>> {
    let nonsense = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let packet = Packet::parse(answer)
        .map_err(|fault| nonsense(format!("the name server answers nonsense: {fault}")))?;
    if !packet.has_flags(PacketFlag::RESPONSE) || packet.id() != QUESTION {
        return Err(nonsense("the name server answers something else".to_owned()));
    }
    // Half of a list would look like all of it.
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Err(nonsense("the name server cut its answer".to_owned()));
    }
    let code = packet.rcode();
    if code == RCODE::NameError {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such name"));
    }
    if code != RCODE::NoError {
        return Err(io::Error::other(format!("the name server refuses: {code:?}")));
    }
    let service = |record: &simple_dns::ResourceRecord<'_>| {
        let RData::SRV(srv) = &record.rdata else { return None };
        let host = srv.target.to_string();
        // A dot alone says that nobody serves it.
        (!host.is_empty() && host != "." && srv.port > 0).then_some((host, srv.port))
    };
    Ok(packet.answers.iter().filter_map(service).collect())
}

#[cfg(test)]
mod tests {
    use simple_dns::{ResourceRecord, rdata::SRV};
    use tokio::net::TcpListener;

    use super::*;

    /// A name server that answers one question with these bytes.
    async fn server(answer: Vec<u8>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut asked).await.unwrap();
            let asked = Packet::parse(&asked).unwrap();
            assert_eq!(asked.questions[0].qname.to_string(), "_metrics._tcp.shop.internal");
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length, &answer[..]].concat()).await.unwrap();
        });
        at
    }

    fn reply(services: &[(&'static str, u16)], code: RCODE) -> Vec<u8> {
        let mut packet = Packet::new_reply(QUESTION);
        *packet.rcode_mut() = code;
        for (target, port) in services {
            let target = Name::new(target).unwrap();
            let srv = RData::SRV(SRV { priority: 0, weight: 1, port: *port, target });
            let name = Name::new("_metrics._tcp.shop.internal").unwrap();
            packet.answers.push(ResourceRecord::new(name, CLASS::IN, 5, srv));
        }
        packet.build_bytes_vec_compressed().unwrap()
    }

    async fn get(servers: &[SocketAddr]) -> Result<Vec<(String, u16)>, String> {
        let name = "_metrics._tcp.shop.internal";
        let found = asked_of(servers, name, Duration::from_secs(10)).await;
        found.map(|found| found.into_iter().collect()).map_err(|fault| fault.to_string())
    }

    #[tokio::test]
    async fn a_name_server_says_hosts_and_ports() {
        let two = [("b.shop.internal", 8081), ("a.shop.internal", 8080), ("a.shop.internal", 8080)];
        let at = server(reply(&two, RCODE::NoError)).await;
        let all = [("a.shop.internal".to_owned(), 8080), ("b.shop.internal".to_owned(), 8081)];
        assert_eq!(get(&[at]).await.unwrap(), all);
        // More than fits into a datagram.
        let names: Vec<(&'static str, u16)> =
            (1..=200).map(|port| ("a.shop.internal", port)).collect();
        assert_eq!(get(&[server(reply(&names, RCODE::NoError)).await]).await.unwrap().len(), 200);
        assert_eq!(get(&[server(reply(&[], RCODE::NoError)).await]).await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_and_is_no_empty_list() {
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let one = reply(&[("a.shop.internal", 1)], RCODE::NoError);
        let mut cut = Packet::parse(&one).unwrap();
        cut.set_flags(PacketFlag::TRUNCATION);
        let mut other = Packet::parse(&one).unwrap();
        other.set_id(7);
        for (answer, says) in [
            (reply(&[], RCODE::NameError), "no such name"),
            (reply(&[], RCODE::ServerFailure), "refuses: ServerFailure"),
            (one[..20].to_vec(), "nonsense"),
            (vec![], "nonsense"),
            (vec![0xff; 600], "nonsense"),
            (cut.build_bytes_vec().unwrap(), "cut its answer"),
            (other.build_bytes_vec().unwrap(), "something else"),
        ] {
            let why = get(&[server(answer).await]).await.unwrap_err();
            assert!(why.contains(says), "{says}: {why}");
        }
        let why = get(&[closed]).await.unwrap_err();
        assert!(why.starts_with("the name server 127.0.0.1 does not answer over TCP"), "{why}");
        assert_eq!(get(&[closed, server(one).await]).await.unwrap().len(), 1, "the next is asked");
    }

    #[test]
    fn name_servers_are_those_of_the_system() {
        let text = "# by hand\nsearch a b\nnameserver 10.96.0.10 # cluster\nnameserver ::1\nnameserver x\n";
        let told: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["10.96.0.10:53", "[::1]:53"]);
        assert_eq!(name_servers("")[0].to_string(), "127.0.0.1:53");
    }
}
