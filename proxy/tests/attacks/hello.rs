//! TLS hellos as a client might write them, well formed and not.

/// A hello of TLS 1.2 or 1.3.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    names: Vec<(u8, Vec<u8>)>,
    versions: Vec<u16>,
    legacy: u16,
    extra: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// An ordinary one.
    pub(crate) fn new(name: Option<&str>) -> Self {
        Self {
            names: name
                .map(|n| (0, n.as_bytes().to_vec()))
                .into_iter()
                .collect(),
            versions: vec![0x0304, 0x0303],
            legacy: 0x0303,
            extra: Vec::new(),
        }
    }

    /// With one more name.
    pub(crate) fn and_name(mut self, kind: u8, name: &[u8]) -> Self {
        self.names.push((kind, name.to_vec()));
        self
    }

    /// With these versions alone.
    pub(crate) fn versions(mut self, legacy: u16, supported: &[u16]) -> Self {
        self.legacy = legacy;
        self.versions = supported.to_vec();
        self
    }

    /// With one more extension.
    pub(crate) fn extension(mut self, kind: u16, body: &[u8]) -> Self {
        self.extra.push((kind, body.to_vec()));
        self
    }

    /// The handshake message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        let mut add = |kind: u16, body: &[u8]| {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(sized16(body));
        };
        if !self.names.is_empty() {
            let list: Vec<u8> = self
                .names
                .iter()
                .flat_map(|(kind, name)| [vec![*kind], sized16(name)].concat())
                .collect();
            add(0, &sized16(&list));
        }
        // Groups, signature algorithms, and a key share that nobody looks at here.
        add(10, &[0, 2, 0, 29]);
        add(13, &[0, 2, 4, 3]);
        if !self.versions.is_empty() {
            let list: Vec<u8> = self.versions.iter().flat_map(|v| v.to_be_bytes()).collect();
            add(
                43,
                &[vec![u8::try_from(list.len()).unwrap()], list].concat(),
            );
        }
        for (kind, body) in &self.extra {
            add(*kind, body);
        }
        let mut body = self.legacy.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.push(0);
        body.extend(sized16(&[0x13, 0x01, 0xc0, 0x2f]));
        body.extend([1, 0]);
        body.extend(sized16(&extensions));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [vec![1], length[1..].to_vec(), body].concat()
    }

    /// In one record.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        record(&self.message())
    }

    /// In records of this many bytes.
    pub(crate) fn records(&self, size: usize) -> Vec<u8> {
        self.message().chunks(size).flat_map(record).collect()
    }
}

/// A handshake record.
pub(crate) fn record(body: &[u8]) -> Vec<u8> {
    [vec![0x16, 3, 1], sized16(body)].concat()
}

fn sized16(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [length.to_vec(), body.to_vec()].concat()
}
