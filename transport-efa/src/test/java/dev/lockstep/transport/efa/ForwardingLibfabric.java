package dev.lockstep.transport.efa;

import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.EventCalls;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.lang.foreign.MemorySegment;

/// A libfabric that does what another does; tests change some of it.
abstract class ForwardingLibfabric implements Libfabric {
  final Libfabric library;

  ForwardingLibfabric(Libfabric library) {
    this.library = library;
  }

  @Override
  public long cqRead(QueueCalls queue, long entries, long count) {
    return library.cqRead(queue, entries, count);
  }

  @Override
  public long send(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long destination,
      long context) {
    return library.send(endpoint, buffer, bytes, descriptor, destination, context);
  }

  @Override
  public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
    return library.inject(endpoint, buffer, bytes, destination);
  }

  @Override
  public long injectdata(
      EndpointCalls endpoint, long buffer, long bytes, long data, long destination) {
    return library.injectdata(endpoint, buffer, bytes, data, destination);
  }

  @Override
  public long writedata(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long data,
      long destination,
      long address,
      long key,
      long context) {
    return library.writedata(
        endpoint, buffer, bytes, descriptor, data, destination, address, key, context);
  }

  @Override
  public long recv(EndpointCalls endpoint, long buffer, long bytes, long descriptor, long context) {
    return library.recv(endpoint, buffer, bytes, descriptor, context);
  }

  @Override
  public int version() {
    return library.version();
  }

  @Override
  public String strerror(int error) {
    return library.strerror(error);
  }

  @Override
  public int getinfo(
      int version,
      MemorySegment node,
      MemorySegment service,
      long flags,
      MemorySegment hints,
      MemorySegment info) {
    return library.getinfo(version, node, service, flags, hints, info);
  }

  @Override
  public void freeinfo(long info) {
    library.freeinfo(info);
  }

  @Override
  public int fabric(long attributes, MemorySegment fabric) {
    return library.fabric(attributes, fabric);
  }

  @Override
  public int domain(long fabric, long info, MemorySegment domain) {
    return library.domain(fabric, info, domain);
  }

  @Override
  public int avOpen(long domain, MemorySegment attributes, MemorySegment av) {
    return library.avOpen(domain, attributes, av);
  }

  @Override
  public int cqOpen(long domain, MemorySegment attributes, MemorySegment cq) {
    return library.cqOpen(domain, attributes, cq);
  }

  @Override
  public int eqOpen(long fabric, MemorySegment attributes, MemorySegment eq) {
    return library.eqOpen(fabric, attributes, eq);
  }

  @Override
  public int endpoint(long domain, long info, MemorySegment endpoint) {
    return library.endpoint(domain, info, endpoint);
  }

  @Override
  public int bind(long object, long other, long flags) {
    return library.bind(object, other, flags);
  }

  @Override
  public int enable(long object) {
    return library.enable(object);
  }

  @Override
  public int setopt(long endpoint, int level, int name, MemorySegment value) {
    return library.setopt(endpoint, level, name, value);
  }

  @Override
  public int getname(long endpoint, MemorySegment name, MemorySegment bytes) {
    return library.getname(endpoint, name, bytes);
  }

  @Override
  public int close(long object) {
    return library.close(object);
  }

  @Override
  public int avInsert(long av, MemorySegment name, MemorySegment address) {
    return library.avInsert(av, name, address);
  }

  @Override
  public int mrReg(long domain, long buffer, long bytes, long access, long key, MemorySegment mr) {
    return library.mrReg(domain, buffer, bytes, access, key, mr);
  }

  @Override
  public int mrRegattr(long domain, MemorySegment attributes, long flags, MemorySegment mr) {
    return library.mrRegattr(domain, attributes, flags, mr);
  }

  @Override
  public long mrDescriptor(long mr) {
    return library.mrDescriptor(mr);
  }

  @Override
  public long mrKey(long mr) {
    return library.mrKey(mr);
  }

  @Override
  public EndpointCalls calls(long endpoint) {
    return library.calls(endpoint);
  }

  @Override
  public QueueCalls queue(long cq) {
    return library.queue(cq);
  }

  @Override
  public long cqReaderr(QueueCalls queue, MemorySegment entry) {
    return library.cqReaderr(queue, entry);
  }

  @Override
  public EventCalls events(long eq) {
    return library.events(eq);
  }

  @Override
  public long eqReaderr(EventCalls queue, MemorySegment entry) {
    return library.eqReaderr(queue, entry);
  }

  @Override
  public String cqStrerror(QueueCalls queue, int providerError, long errorData) {
    return library.cqStrerror(queue, providerError, errorData);
  }

  @Override
  public MemorySegment memory(long address, long bytes) {
    return library.memory(address, bytes);
  }

  @Override
  public String string(long address) {
    return library.string(address);
  }

  @Override
  public int getopt(long endpoint, int level, int name, MemorySegment value, MemorySegment bytes) {
    return library.getopt(endpoint, level, name, value, bytes);
  }
}
