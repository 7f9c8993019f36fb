#!/usr/bin/env node
// answers WHERE PATH|- TIMEOUT_MS   exit 0 as soon as somebody answers at WHERE (a unix socket or host:port): with PATH to
// GET PATH with status 200, with - by accepting a connection. Exit 1 when the time is over. TIMEOUT_MS 0 asks once.
const http = require('node:http');
const net = require('node:net');

const [, , where, path, timeoutMs] = process.argv;
const [host, port] = where.split(':');
const target = where.startsWith('/') ? { socketPath: where } : { host, port: Number(port) };
const end = Date.now() + Number(timeoutMs);

function ask(done) {
  if (path === '-') {
    const socket = net.connect(target.socketPath ? { path: where } : target, () => done(true));
    socket.on('error', () => done(false));
    return;
  }
  const request = http.get({ ...target, path, timeout: 2000 }, (reply) => done(reply.statusCode === 200));
  request.on('timeout', () => request.destroy());
  request.on('error', () => done(false));
}

function attempt() {
  ask((ok) => {
    if (ok) process.exit(0);
    if (Date.now() >= end) process.exit(1);
    setTimeout(attempt, 20);
  });
}
attempt();
