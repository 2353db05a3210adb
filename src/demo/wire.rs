//! The cable between the daemon and the shop: forwards connections, until it is cut.

use std::net::Ipv4Addr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A forwarded port. Dropping it cuts the cable: connections are refused.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    task: JoinHandle<()>,
}

impl Wire {
    /// Forwards a free port to another one.
    pub async fn to(target: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            // Ends with this task: a kept connection is cut like any other.
            let mut connections = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(async move {
                    // A shop that is not there refuses, and so do we: the connection just ends.
                    if let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Ok(Self { port, task })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}
