/**
 * How to reach etcd: names of members and TLS files. Reads the files once, at start, so that a wrong path is an
 * error of the configuration and not of the first container.
 *
 * @see etcd "Transport security model"; password login needs TLS to be of use
 */
import { readFileSync } from 'node:fs';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { InvalidRequest } from '../core/errors.ts';

/** Paths of PEM files. */
export interface EtcdTls {
  /** Authority of etcd's certificate; default: those of the system. */
  readonly caFile?: string;
  /** Our certificate and key, both or none (etcd --client-cert-auth). */
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** `host:port` without scheme. */
export function hostOf(host: string): string {
  return host.replace(/^https?:\/\//, '').replace(/\/$/, '');
}

/** @throws InvalidRequest for no hosts, http and https mixed, unreadable files, certificate without key */
export function credentialsOf(hosts: readonly string[], tls: EtcdTls | undefined): ChannelCredentials {
  if (hosts.length === 0) throw new InvalidRequest('etcd.hosts is empty: name at least one member of etcd');
  const secure = hosts.filter((host) => host.startsWith('https://')).length;
  const plain = hosts.filter((host) => host.startsWith('http://')).length;
  if (plain > 0 && (secure > 0 || tls !== undefined)) {
    throw new InvalidRequest('etcd.hosts mixes http:// with TLS: write all of them with https://');
  }
  if (secure === 0 && tls === undefined) return credentials.createInsecure();
  if ((tls?.certFile === undefined) !== (tls?.keyFile === undefined)) {
    throw new InvalidRequest('etcd.tls: a certificate needs its key and a key its certificate, set both');
  }
  try {
    return credentials.createSsl(fileOf(tls?.caFile), fileOf(tls?.keyFile), fileOf(tls?.certFile));
  } catch (cause) {
    if (cause instanceof InvalidRequest) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidRequest(`etcd.tls: not a usable PEM file (${reason})`, { cause });
  }
}

function fileOf(path: string | undefined): Buffer | null {
  if (path === undefined) return null;
  try {
    return readFileSync(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidRequest(`etcd.tls: ${path} cannot be read (${reason})`, { cause });
  }
}
