// SPDX-License-Identifier: Apache-2.0
// Serves "admin" or "public" on three ports of loopback that it prints: by the target as it came, by a
// URL object, and by the decoded path, normalized as the file system has it.
const http = require('http');
const path = require('path');

const bare = (host) => (host || '').replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase();
const admin = (at, host) => at === '/admin' || at.startsWith('/admin/') || host === 'admin.example';
const readers = [
  (req) => admin(req.url.split('?')[0], bare(req.headers.host)),
  (req) => {
    const url = new URL(req.url, 'http://' + req.headers.host);
    return admin(url.pathname, bare(url.host)) || bare(req.headers.host) === 'admin.example';
  },
  (req) => admin(path.posix.normalize(decodeURIComponent(req.url.split('?')[0])), bare(req.headers.host)),
];
for (const reader of readers) {
  const server = http.createServer((req, res) => {
    let text = 'error';
    try {
      text = reader(req) ? 'admin' : 'public';
    } catch {
      res.statusCode = 400;
    }
    res.end(text);
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}
