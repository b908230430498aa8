package dev.lockstep.transport.efa.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/// libfabric by the foreign function interface.
///
/// Only a few of libfabric's functions are symbols. The others are inline in its headers: they read
/// a table of functions from an object and call one of them with the object. So do the methods
/// here, by handles whose first argument is the function.
@SuppressWarnings("restricted") // links libfabric; LibC links the C library
final class NativeLibfabric implements Libfabric {
  private static final Linker LINKER = Linker.nativeLinker();
  private static final long LONGEST_TEXT = 1024;

  // Calls of functions in tables, named by their arguments: L is an address or a size, I an int.
  private static final MethodHandle I_L = table(JAVA_INT, JAVA_LONG);
  private static final MethodHandle I_LIL = table(JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG);
  private static final MethodHandle I_LLL = table(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle I_LLLL =
      table(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle I_LIILL =
      table(JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle I_LLLLLL =
      table(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle MR_REG =
      table(
          JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
          JAVA_LONG, JAVA_LONG);
  private static final MethodHandle L_LLL = table(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle INJECT =
      table(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle INJECTDATA =
      table(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle SEND =
      table(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle WRITEDATA =
      table(
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
          JAVA_LONG, JAVA_LONG);
  private static final MethodHandle CQ_STRERROR =
      table(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);

  private final MethodHandle fiVersion;
  private final MethodHandle fiStrerror;
  private final MethodHandle fiGetinfo;
  private final MethodHandle fiFreeinfo;
  private final MethodHandle fiFabric;

  /// Finds the functions.
  ///
  /// @throws java.util.NoSuchElementException if the library lacks one
  NativeLibfabric(SymbolLookup library) {
    fiVersion = symbol(library, "fi_version", FunctionDescriptor.of(JAVA_INT));
    fiStrerror = symbol(library, "fi_strerror", FunctionDescriptor.of(JAVA_LONG, JAVA_INT));
    fiGetinfo =
        symbol(
            library,
            "fi_getinfo",
            FunctionDescriptor.of(
                JAVA_INT, JAVA_INT, ADDRESS, ADDRESS, JAVA_LONG, ADDRESS, ADDRESS));
    fiFreeinfo = symbol(library, "fi_freeinfo", FunctionDescriptor.ofVoid(JAVA_LONG));
    fiFabric =
        symbol(
            library, "fi_fabric", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS, JAVA_LONG));
  }

  /// Opens a library.
  ///
  /// libfabric reads its environment when it is loaded and first asked. Its cache of registrations
  /// watches memory by patching the C library's functions, which a JVM does not bear; Lockstep
  /// registers regions itself and closes them itself, so the cache has nothing to watch. Two of the
  /// libraries that Debian's is linked with print a backtrace and end the process at every SIGSEGV,
  /// by which a JVM does much of its work, unless they are told not to.
  ///
  /// @throws IllegalArgumentException if there is none of this name
  static NativeLibfabric open(String name) {
    LibC.setenv("FI_MR_CACHE_MONITOR", "disabled");
    // Ranks of a host that ask for EFA get EFA, not the provider's shared memory, which spins for
    // good behind a peer that was killed.
    LibC.setenv("FI_EFA_ENABLE_SHM_TRANSFER", "0");
    LibC.setenv("IPATH_NO_BACKTRACE", "1");
    LibC.setenv("HFI_NO_BACKTRACE", "1");
    return LibC.keepingHandlers(
        () -> new NativeLibfabric(SymbolLookup.libraryLookup(name, Arena.global())));
  }

  private static MethodHandle symbol(
      SymbolLookup library, String name, FunctionDescriptor descriptor) {
    return LINKER.downcallHandle(library.findOrThrow(name), descriptor);
  }

  private static MethodHandle table(MemoryLayout result, MemoryLayout... arguments) {
    return LINKER.downcallHandle(FunctionDescriptor.of(result, arguments));
  }

  @Override
  public MemorySegment memory(long address, long bytes) {
    return Tables.memory(address, bytes);
  }

  @Override
  public String string(long address) {
    return address == 0 ? "" : memory(address, LONGEST_TEXT).getString(0);
  }

  private MemorySegment common(long object, String function) {
    return Tables.function(object, Layouts.FID, "ops", Layouts.OPS, function);
  }

  @Override
  public int version() {
    try {
      return (int) fiVersion.invokeExact();
    } catch (Throwable cause) {
      throw cannotHappen("fi_version", cause);
    }
  }

  @Override
  public String strerror(int error) {
    try {
      return string((long) fiStrerror.invokeExact(error));
    } catch (Throwable cause) {
      throw cannotHappen("fi_strerror", cause);
    }
  }

  @Override
  public int getinfo(
      int version,
      MemorySegment node,
      MemorySegment service,
      long flags,
      MemorySegment hints,
      MemorySegment info) {
    // What is loaded when anything is first asked for may take signals too.
    return LibC.keepingHandlers(() -> ask(version, node, service, flags, hints, info));
  }

  private int ask(
      int version,
      MemorySegment node,
      MemorySegment service,
      long flags,
      MemorySegment hints,
      MemorySegment info) {
    try {
      return (int) fiGetinfo.invokeExact(version, node, service, flags, hints, info);
    } catch (Throwable cause) {
      throw cannotHappen("fi_getinfo", cause);
    }
  }

  @Override
  public void freeinfo(long info) {
    try {
      fiFreeinfo.invokeExact(info);
    } catch (Throwable cause) {
      throw cannotHappen("fi_freeinfo", cause);
    }
  }

  @Override
  public int fabric(long attributes, MemorySegment fabric) {
    try {
      return (int) fiFabric.invokeExact(attributes, fabric, 0L);
    } catch (Throwable cause) {
      throw cannotHappen("fi_fabric", cause);
    }
  }

  @Override
  public int domain(long fabric, long info, MemorySegment domain) {
    MemorySegment function =
        Tables.function(fabric, Layouts.FABRIC, "ops", Layouts.OPS_FABRIC, "domain");
    try {
      return (int) I_LLLL.invokeExact(function, fabric, info, domain.address(), 0L);
    } catch (Throwable cause) {
      throw cannotHappen("fi_domain", cause);
    }
  }

  @Override
  public int avOpen(long domain, MemorySegment attributes, MemorySegment av) {
    return open(domain, "av_open", attributes.address(), av);
  }

  @Override
  public int cqOpen(long domain, MemorySegment attributes, MemorySegment cq) {
    return open(domain, "cq_open", attributes.address(), cq);
  }

  @Override
  public int eqOpen(long fabric, MemorySegment attributes, MemorySegment eq) {
    MemorySegment function =
        Tables.function(fabric, Layouts.FABRIC, "ops", Layouts.OPS_FABRIC, "eq_open");
    try {
      return (int) I_LLLL.invokeExact(function, fabric, attributes.address(), eq.address(), 0L);
    } catch (Throwable cause) {
      throw cannotHappen("fi_eq_open", cause);
    }
  }

  @Override
  public int endpoint(long domain, long info, MemorySegment endpoint) {
    // The provider shm takes SIGSEGV, SIGBUS, SIGTERM and SIGINT with its first endpoint, and at
    // any of them removes the files by which peers find its endpoints: at the first null check.
    return LibC.keepingHandlers(() -> open(domain, "endpoint", info, endpoint));
  }

  private int open(long domain, String name, long attributes, MemorySegment object) {
    MemorySegment function =
        Tables.function(domain, Layouts.DOMAIN, "ops", Layouts.OPS_DOMAIN, name);
    try {
      return (int) I_LLLL.invokeExact(function, domain, attributes, object.address(), 0L);
    } catch (Throwable cause) {
      throw cannotHappen(name, cause);
    }
  }

  @Override
  public int bind(long object, long other, long flags) {
    try {
      return (int) I_LLL.invokeExact(common(object, "bind"), object, other, flags);
    } catch (UnsupportedOperationException absent) {
      throw absent;
    } catch (Throwable cause) {
      throw cannotHappen("bind", cause);
    }
  }

  @Override
  public int enable(long object) {
    try {
      return (int) I_LIL.invokeExact(common(object, "control"), object, Fi.ENABLE, 0L);
    } catch (UnsupportedOperationException absent) {
      throw absent;
    } catch (Throwable cause) {
      throw cannotHappen("fi_enable", cause);
    }
  }

  @Override
  public int setopt(long endpoint, int level, int name, MemorySegment value) {
    MemorySegment function = Tables.function(endpoint, Layouts.EP, "ops", Layouts.OPS_EP, "setopt");
    try {
      return (int)
          I_LIILL.invokeExact(function, endpoint, level, name, value.address(), (long) Long.BYTES);
    } catch (Throwable cause) {
      throw cannotHappen("fi_setopt", cause);
    }
  }

  @Override
  public int getopt(long endpoint, int level, int name, MemorySegment value, MemorySegment bytes) {
    MemorySegment function = Tables.function(endpoint, Layouts.EP, "ops", Layouts.OPS_EP, "getopt");
    try {
      return (int)
          I_LIILL.invokeExact(function, endpoint, level, name, value.address(), bytes.address());
    } catch (Throwable cause) {
      throw cannotHappen("fi_getopt", cause);
    }
  }

  @Override
  public int getname(long endpoint, MemorySegment name, MemorySegment bytes) {
    MemorySegment function = Tables.function(endpoint, Layouts.EP, "cm", Layouts.OPS_CM, "getname");
    try {
      return (int) I_LLL.invokeExact(function, endpoint, name.address(), bytes.address());
    } catch (Throwable cause) {
      throw cannotHappen("fi_getname", cause);
    }
  }

  @Override
  public int close(long object) {
    try {
      return (int) I_L.invokeExact(common(object, "close"), object);
    } catch (Throwable cause) {
      throw cannotHappen("fi_close", cause);
    }
  }

  @Override
  public int avInsert(long av, MemorySegment name, MemorySegment address) {
    MemorySegment function = Tables.function(av, Layouts.AV, "ops", Layouts.OPS_AV, "insert");
    try {
      return (int)
          I_LLLLLL.invokeExact(function, av, name.address(), 1L, address.address(), 0L, 0L);
    } catch (Throwable cause) {
      throw cannotHappen("fi_av_insert", cause);
    }
  }

  @Override
  public int mrReg(long domain, long buffer, long bytes, long access, long key, MemorySegment mr) {
    MemorySegment function = Tables.function(domain, Layouts.DOMAIN, "mr", Layouts.OPS_MR, "reg");
    try {
      return (int)
          MR_REG.invokeExact(
              function, domain, buffer, bytes, access, 0L, key, 0L, mr.address(), 0L);
    } catch (Throwable cause) {
      throw cannotHappen("fi_mr_reg", cause);
    }
  }

  @Override
  public int mrRegattr(long domain, MemorySegment attributes, long flags, MemorySegment mr) {
    MemorySegment function =
        Tables.function(domain, Layouts.DOMAIN, "mr", Layouts.OPS_MR, "regattr");
    try {
      return (int) I_LLLL.invokeExact(function, domain, attributes.address(), flags, mr.address());
    } catch (Throwable cause) {
      throw cannotHappen("fi_mr_regattr", cause);
    }
  }

  @Override
  public long mrDescriptor(long mr) {
    return Tables.read(mr, Layouts.MR, "mem_desc");
  }

  @Override
  public long mrKey(long mr) {
    return Tables.read(mr, Layouts.MR, "key");
  }

  @Override
  public EndpointCalls calls(long endpoint) {
    return new EndpointCalls(
        endpoint,
        Tables.function(endpoint, Layouts.EP, "msg", Layouts.OPS_MSG, "recv"),
        Tables.function(endpoint, Layouts.EP, "msg", Layouts.OPS_MSG, "send"),
        Tables.function(endpoint, Layouts.EP, "msg", Layouts.OPS_MSG, "inject"),
        Tables.function(endpoint, Layouts.EP, "msg", Layouts.OPS_MSG, "injectdata"),
        Tables.function(endpoint, Layouts.EP, "rma", Layouts.OPS_RMA, "writedata"));
  }

  @Override
  public QueueCalls queue(long cq) {
    return new QueueCalls(
        cq,
        Tables.function(cq, Layouts.CQ, "ops", Layouts.OPS_CQ, "read"),
        Tables.function(cq, Layouts.CQ, "ops", Layouts.OPS_CQ, "readerr"),
        Tables.function(cq, Layouts.CQ, "ops", Layouts.OPS_CQ, "strerror"));
  }

  @Override
  public EventCalls events(long eq) {
    return new EventCalls(eq, Tables.function(eq, Layouts.EQ, "ops", Layouts.OPS_EQ, "readerr"));
  }

  @Override
  public long recv(EndpointCalls endpoint, long buffer, long bytes, long descriptor, long context) {
    try {
      return (long)
          SEND.invokeExact(
              endpoint.recv(), endpoint.endpoint(), buffer, bytes, descriptor, -1L, context);
    } catch (Throwable cause) {
      throw cannotHappen("fi_recv", cause);
    }
  }

  @Override
  public long send(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long destination,
      long context) {
    try {
      return (long)
          SEND.invokeExact(
              endpoint.send(),
              endpoint.endpoint(),
              buffer,
              bytes,
              descriptor,
              destination,
              context);
    } catch (Throwable cause) {
      throw cannotHappen("fi_send", cause);
    }
  }

  @Override
  public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
    try {
      return (long)
          INJECT.invokeExact(endpoint.inject(), endpoint.endpoint(), buffer, bytes, destination);
    } catch (Throwable cause) {
      throw cannotHappen("fi_inject", cause);
    }
  }

  @Override
  public long injectdata(
      EndpointCalls endpoint, long buffer, long bytes, long data, long destination) {
    try {
      return (long)
          INJECTDATA.invokeExact(
              endpoint.injectdata(), endpoint.endpoint(), buffer, bytes, data, destination);
    } catch (Throwable cause) {
      throw cannotHappen("fi_injectdata", cause);
    }
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
    try {
      return (long)
          WRITEDATA.invokeExact(
              endpoint.writedata(),
              endpoint.endpoint(),
              buffer,
              bytes,
              descriptor,
              data,
              destination,
              address,
              key,
              context);
    } catch (Throwable cause) {
      throw cannotHappen("fi_writedata", cause);
    }
  }

  @Override
  public long cqRead(QueueCalls queue, long entries, long count) {
    try {
      return (long) L_LLL.invokeExact(queue.read(), queue.queue(), entries, count);
    } catch (Throwable cause) {
      throw cannotHappen("fi_cq_read", cause);
    }
  }

  @Override
  public long cqReaderr(QueueCalls queue, MemorySegment entry) {
    try {
      return (long) L_LLL.invokeExact(queue.readerr(), queue.queue(), entry.address(), 0L);
    } catch (Throwable cause) {
      throw cannotHappen("fi_cq_readerr", cause);
    }
  }

  @Override
  public long eqReaderr(EventCalls queue, MemorySegment entry) {
    try {
      return (long) L_LLL.invokeExact(queue.readerr(), queue.queue(), entry.address(), 0L);
    } catch (Throwable cause) {
      throw cannotHappen("fi_eq_readerr", cause);
    }
  }

  @Override
  public String cqStrerror(QueueCalls queue, int providerError, long errorData) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment text = arena.allocate(LONGEST_TEXT);
      long words =
          (long)
              CQ_STRERROR.invokeExact(
                  queue.strerror(),
                  queue.queue(),
                  providerError,
                  errorData,
                  text.address(),
                  LONGEST_TEXT);
      return string(words);
    } catch (Throwable cause) {
      throw cannotHappen("fi_cq_strerror", cause);
    }
  }

  private static AssertionError cannotHappen(String function, Throwable cause) {
    return new AssertionError("downcall failed: function=" + function, cause);
  }
}
