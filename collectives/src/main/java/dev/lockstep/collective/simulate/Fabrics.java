package dev.lockstep.collective.simulate;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Fabrics that one can buy, by published figures. Bandwidths are per direction; where a source
/// gives the sum of both, half of it stands here. A rank is a chip; where the name ends in
/// `-cores`, it is a logical core.
public final class Fabrics {
  private static final double GB = 1e9;
  private static final double TB = 1e12;
  private static final double GIB = 0x1.0p30;
  private static final double GBIT = 1e9 / 8;
  private static final double MICROS = 1000;

  /// What one work-queue entry costs the engines that run a device's collectives. An estimate: no
  /// vendor states it. Kernel launches are not in it, they come before the first step.
  private static final double DEVICE_STEP_NANOS = 100;

  /// A hop of NeuronLink: 1 to 2 µs for rings within an instance (AWS Neuron documentation,
  /// neuron-runtime collectives).
  private static final double NEURONLINK_NANOS = 1.5 * MICROS;

  /// HBM to HBM between nodes over EFA (same source).
  private static final double NEURON_EFA_NANOS = 15 * MICROS;

  /// A hop of NVLink by the LL protocol (NCCL 2.30.7, src/graph/tuning.cc, hwLatencies ring LL).
  private static final double NVLINK_NANOS = 0.6 * MICROS;

  /// EFA on p5en, p6 and P6e: what aws-ofi-nccl's model takes for p5en (src/tuner,
  /// nccl_ofi_model.cpp, net_lat).
  private static final double NVIDIA_EFA_NANOS = 18 * MICROS;

  /// InfiniBand by the LL protocol (NCCL 2.30.7, src/graph/tuning.cc, hwLatencies NET ring LL).
  private static final double INFINIBAND_NANOS = 2.7 * MICROS;

  /// What the engines of a chip move (AWS Neuron documentation, "Trainium Architecture").
  private static final double TRN1_DMA = TB;

  /// The same of Trainium2 ("Trainium2 Architecture").
  private static final double TRN2_DMA = 3.5 * TB;

  /// HBM of Trainium3, which its engines move too ("Trainium3 Architecture").
  private static final double TRN3_MEMORY = 4.9 * TB;

  /// Four PCIe Gen6 x8 links per chip to the switches of its server, 256 GB/s in both directions
  /// together ("Amazon EC2 Trn3 Architecture", connectivity; the page says so of servers of four
  /// chips and names no other figure for those of sixteen). The 2,048 GiB/s per device of its table
  /// are not explained by the links and are not used.
  private static final double TRN3_SERVER = 128 * GB;

  /// Five such links per chip between servers, 320 GB/s in both directions (same page).
  private static final double TRN3_BETWEEN_SERVERS = 160 * GB;

  private static final List<Fabric> ALL =
      List.of(
          trn1(),
          trn1n(),
          trn2(),
          trn2Ultraserver(),
          trn3(),
          trn3Gen1Ultraserver(),
          trn3Ultraserver(),
          byCore(trn1(), 2, TRN1_DMA),
          byCore(trn1n(), 2, TRN1_DMA),
          byCore(trn2(), 4, TRN2_DMA),
          byCore(trn2Ultraserver(), 4, TRN2_DMA),
          byCore(trn3(), 4, TRN3_MEMORY),
          byCore(trn3Gen1Ultraserver(), 4, TRN3_MEMORY),
          byCore(trn3Ultraserver(), 4, TRN3_MEMORY),
          h200Efa(),
          b200Efa(),
          b200Infiniband(),
          b300Efa(),
          gb200Nvl72(),
          gb300Nvl72());

  private Fabrics() {}

  /// Returns every fabric there is.
  public static List<Fabric> all() {
    return ALL;
  }

  /// Returns the fabric of that name, if there is one.
  public static Optional<Fabric> named(String name) {
    return ALL.stream().filter(fabric -> fabric.name().equals(name)).findFirst();
  }

  /// Trn1.32xlarge: 16 chips, a 2D torus of NeuronLink v2 (AWS Neuron documentation, "Amazon EC2
  /// Trn1/Trn1n Architecture").
  private static Fabric trn1() {
    return trn1("trn1", 800 * GBIT);
  }

  /// Trn1n.32xlarge: the same with sixteen EFAs, 1,600 Gbit/s per instance (same source).
  private static Fabric trn1n() {
    return trn1("trn1n", 1600 * GBIT);
  }

  private static Fabric trn1(String name, double efa) {
    return new Fabric(
        name,
        Compute.device(DEVICE_STEP_NANOS, 820 * GIB), // HBM, same source
        List.of(
            // 384 GiB/s per chip, taken for both directions as Trn2's figure is (same source).
            Level.of("neuronlink-v2", 16, NEURONLINK_NANOS, 192 * GIB),
            // 800 Gbit/s per instance by eight EFAs (same documentation).
            Level.shared("efa", Level.ALL, NEURON_EFA_NANOS, 100 * GBIT, efa)));
  }

  /// Trn2.48xlarge: one instance of what an UltraServer has four of.
  private static Fabric trn2() {
    return new Fabric(
        "trn2",
        Compute.device(DEVICE_STEP_NANOS, 2.9 * TB), // as trn2-ultraserver
        List.of(
            Level.of("neuronlink-v3", 16, NEURONLINK_NANOS, 512 * GB),
            Level.of("efa-v3", Level.ALL, NEURON_EFA_NANOS, 200 * GBIT)));
  }

  /// Trn2 UltraServer: 4 instances of 16 chips (AWS Neuron documentation, about-neuron/arch).
  private static Fabric trn2Ultraserver() {
    return new Fabric(
        "trn2-ultraserver",
        Compute.device(DEVICE_STEP_NANOS, 2.9 * TB), // HBM, same source
        List.of(
            // 1,024 GB/s per chip within the instance, both directions (same source).
            Level.of("neuronlink-v3", 16, NEURONLINK_NANOS, 512 * GB),
            // The third dimension of the torus, between the four instances: 256 GB/s per chip.
            Level.of("neuronlink-z", 64, NEURONLINK_NANOS, 128 * GB),
            // 3,200 Gbit/s per instance of 16 chips: one 200 Gbit/s EFA per chip.
            Level.of("efa-v3", Level.ALL, NEURON_EFA_NANOS, 200 * GBIT)));
  }

  /// A server of a Trn3 Gen1 UltraServer: 16 chips, all to all by NeuronSwitch v1.
  private static Fabric trn3() {
    return new Fabric(
        "trn3",
        Compute.device(DEVICE_STEP_NANOS, TRN3_MEMORY),
        List.of(Level.of("server", 16, NEURONLINK_NANOS, TRN3_SERVER), trn3Efa()));
  }

  /// Trn3 Gen1 UltraServer: 64 chips, 4 servers of 16.
  private static Fabric trn3Gen1Ultraserver() {
    return new Fabric(
        "trn3-gen1-ultraserver",
        Compute.device(DEVICE_STEP_NANOS, TRN3_MEMORY),
        List.of(
            Level.of("server", 16, NEURONLINK_NANOS, TRN3_SERVER),
            Level.of("neuronlink-v4", 64, NEURONLINK_NANOS, TRN3_BETWEEN_SERVERS),
            trn3Efa()));
  }

  /// Trn3 Gen2 UltraServer: 144 chips, 36 servers of 4. The two links of a chip that join racks are
  /// left out, as the sources do not say how many servers a rack has.
  private static Fabric trn3Ultraserver() {
    return new Fabric(
        "trn3-ultraserver",
        Compute.device(DEVICE_STEP_NANOS, TRN3_MEMORY),
        List.of(
            Level.of("server", 4, NEURONLINK_NANOS, TRN3_SERVER),
            Level.of("neuronlink-v4", 144, NEURONLINK_NANOS, TRN3_BETWEEN_SERVERS),
            trn3Efa()));
  }

  /// 12,800 Gbit/s per Gen1 UltraServer of 64 chips, 28,800 per Gen2 UltraServer of 144: 200 Gbit/s
  /// per chip (AWS Neuron documentation, "Amazon EC2 Trn3 Architecture").
  private static Level trn3Efa() {
    return Level.of("efa", Level.ALL, NEURON_EFA_NANOS, 200 * GBIT);
  }

  /// The same with logical cores as ranks, as `--device neuron` has them: the cores of a chip share
  /// its memory and its links. A hop within a chip is taken to last as long as one between chips,
  /// since no source states it.
  ///
  /// @param cores logical cores of a chip, two physical ones each from Trainium2 on
  /// @param dma what the engines of a chip move, shared among its cores
  private static Fabric byCore(Fabric chips, int cores, double dma) {
    List<Level> levels = new ArrayList<>();
    levels.add(Level.of("chip", cores, NEURONLINK_NANOS, dma / cores));
    long chipsBelow = 1;
    for (Level level : chips.levels()) {
      double link = only(level.bandwidth());
      double shared = level.uplinkBytesPerSecond();
      double uplink = shared > 0 ? shared : chipsBelow * link;
      long ranks = level.ranks() == Level.ALL ? Level.ALL : level.ranks() * cores;
      levels.add(Level.shared(level.name(), ranks, level.messageNanos(), link, uplink));
      chipsBelow = level.ranks();
    }
    double memory = only(chips.compute().join());
    return new Fabric(
        chips.name() + "-cores", Compute.device(DEVICE_STEP_NANOS, memory / cores), levels);
  }

  private static double only(Rates rates) {
    return rates.points().getFirst().bytesPerSecond();
  }

  private static Fabric h200Efa() {
    return new Fabric(
        "h200-efa",
        Compute.device(DEVICE_STEP_NANOS, 4.8 * TB), // HBM3e, NVIDIA's H200 datasheet
        List.of(
            // NVLink 4, 900 GB/s in both directions together (same datasheet).
            Level.of("nvlink-4", 8, NVLINK_NANOS, 450 * GB),
            // p5en: EFAv3, 3,200 Gbit/s per instance of 8 (AWS accelerated-computing tutorials).
            Level.shared("efa-v3", Level.ALL, NVIDIA_EFA_NANOS, 400 * GBIT, 3200 * GBIT)));
  }

  private static Fabric b200Efa() {
    return new Fabric(
        "b200-efa",
        Compute.device(DEVICE_STEP_NANOS, 7.7 * TB), // HBM3e, NVIDIA's HGX tables, lower figure
        List.of(
            nvlink5(8),
            // p6-b200: EFAv4, 3,200 Gbit/s per instance of 8 (AWS, same tutorials).
            Level.shared("efa-v4", Level.ALL, NVIDIA_EFA_NANOS, 400 * GBIT, 3200 * GBIT)));
  }

  private static Fabric b200Infiniband() {
    return new Fabric(
        "b200-infiniband",
        Compute.device(DEVICE_STEP_NANOS, 7.7 * TB), // as above
        List.of(
            nvlink5(8),
            // One ConnectX-7 of 400 Gbit/s per GPU (NDR; NVIDIA DGX B200 datasheet).
            Level.shared(
                "infiniband-ndr", Level.ALL, INFINIBAND_NANOS, 400 * GBIT, 8 * 400 * GBIT)));
  }

  private static Fabric b300Efa() {
    return new Fabric(
        "b300-efa",
        Compute.device(DEVICE_STEP_NANOS, 7.7 * TB), // HBM3e, NVIDIA's HGX tables, lower figure
        List.of(
            nvlink5(8),
            // p6-b300: 6,400 Gbit/s per instance of 8 (AWS, EC2 P6 instance tables).
            Level.shared("efa", Level.ALL, NVIDIA_EFA_NANOS, 800 * GBIT, 6400 * GBIT)));
  }

  private static Fabric gb200Nvl72() {
    return new Fabric(
        "gb200-nvl72",
        Compute.device(DEVICE_STEP_NANOS, 8 * TB), // HBM3e, NVIDIA's NVL72 tables
        List.of(nvlink5(72), p6eEfa()));
  }

  private static Fabric gb300Nvl72() {
    return new Fabric(
        "gb300-nvl72",
        Compute.device(DEVICE_STEP_NANOS, 8 * TB), // HBM3e, NVIDIA's NVL72 tables
        List.of(nvlink5(72), p6eEfa()));
  }

  /// NVLink 5: 1.8 TB/s per GPU in both directions together (NVIDIA, HGX B200 and NVL72 tables).
  private static Level nvlink5(int gpus) {
    return Level.of("nvlink-5", gpus, NVLINK_NANOS, 900 * GB);
  }

  /// P6e: 28.8 Tbit/s per UltraServer of 72 GPUs (AWS, SageMaker HyperPod on GB200).
  private static Level p6eEfa() {
    return Level.shared("efa-v4", Level.ALL, NVIDIA_EFA_NANOS, 400 * GBIT, 28_800 * GBIT);
  }
}
