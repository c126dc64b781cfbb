package splade_lucene;

import java.io.EOFException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import org.apache.lucene.index.CorruptIndexException;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.FilterLeafReader;
import org.apache.lucene.index.IndexFormatTooNewException;
import org.apache.lucene.index.IndexFormatTooOldException;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.SegmentReader;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.store.Lock;
import org.apache.lucene.store.LockObtainFailedException;
import org.apache.lucene.util.StringHelper;

/** The files beside Lucene's, named by the segment's id: each segment's block file, and the largest one's rank file. */
public final class BlockFiles {
  // What the names of all our files begin with, temporary ones and the lock included.
  static final String BLOCKS = "blocks";
  static final String RANKS = "ranks";
  private static final String LOCK = BLOCKS + ".lock";

  private BlockFiles() {}

  private static byte[] id(LeafReader segment) {
    return ((SegmentReader) FilterLeafReader.unwrap(segment)).getSegmentInfo().info.getId();
  }

  private static String name(String kind, LeafReader segment) {
    return kind + "-" + StringHelper.idToString(id(segment));
  }

  @FunctionalInterface
  private interface Reading<T> {
    T read() throws IOException;
  }

  /** What is read from a file, or null where there is none, or one that cannot be used. */
  private static <T> T orNull(Reading<T> reading) throws IOException {
    try {
      return reading.read();
    } catch (NoSuchFileException
        | CorruptIndexException
        | EOFException
        | IndexFormatTooNewException
        | IndexFormatTooOldException e) {
      return null;
    }
  }

  private static Blocks blocks(Directory directory, LeafReader segment) throws IOException {
    return Blocks.open(directory, name(BLOCKS, segment), id(segment));
  }

  private static int[] ranks(Directory directory, LeafReader segment) throws IOException {
    return RankFile.read(directory, segment, id(segment), name(RANKS, segment));
  }

  /** The blocks of a segment, or null where there is no file, or one that cannot be used. */
  static Blocks open(Directory directory, LeafReader segment) throws IOException {
    return orNull(() -> blocks(directory, segment));
  }

  /** The ranks within the largest segment, or null likewise. */
  static int[] ranksWithinLargest(Directory directory, DirectoryReader reader) throws IOException {
    LeafReaderContext largest = IdRanks.largest(reader);
    return largest == null ? new int[0] : orNull(() -> ranks(directory, largest.reader()));
  }

  /**
   * Writes the files that the last commit lacks, and removes those that no search of it reads. Does nothing where
   * another process is at it.
   *
   * @param firstPassDocTerms of each document so many postings for a first pass; 0: none
   * @param halfSaturation the impact that counts there for half of the most that any can
   */
  public static Job refresh(String path, int firstPassDocTerms, int halfSaturation, int threads) {
    return Job.start(
        job -> {
          try (Directory directory = FSDirectory.open(Path.of(path));
              Lock lock = directory.obtainLock(LOCK)) {
            lock.ensureValid();
            refresh(directory, new BlockWriter.FirstPass(firstPassDocTerms, halfSaturation), threads);
          } catch (LockObtainFailedException e) {
            // The other one writes the same.
          }
          return null;
        });
  }

  private static void refresh(Directory directory, BlockWriter.FirstPass firstPass, int threads) throws IOException {
    try (DirectoryReader reader = DirectoryReader.open(directory)) {
      removeOthers(directory, reader);
      if (ranksWithinLargest(directory, reader) == null) {
        LeafReader largest = IdRanks.largest(reader).reader();
        RankFile.write(directory, largest, id(largest), name(RANKS, largest));
      }
      for (LeafReaderContext leaf : reader.leaves()) {
        Blocks there = open(directory, leaf.reader());
        if (there != null) {
          there.close();
        } else {
          BlockWriter.write(
              directory, leaf.reader(), id(leaf.reader()), name(BLOCKS, leaf.reader()), firstPass, threads);
        }
      }
    }
  }

  private static void removeOthers(Directory directory, DirectoryReader reader) throws IOException {
    Set<String> wanted = new HashSet<>();
    wanted.add(LOCK);
    for (LeafReaderContext leaf : reader.leaves()) {
      wanted.add(name(BLOCKS, leaf.reader()));
    }
    if (!reader.leaves().isEmpty()) {
      wanted.add(name(RANKS, IdRanks.largest(reader).reader()));
    }
    for (String file : directory.listAll()) {
      if ((file.startsWith(BLOCKS) || file.startsWith(RANKS)) && !wanted.contains(file)) {
        directory.deleteFile(file);
      }
    }
  }

  /** Reads all files of the last commit in full; throws CorruptIndexException where a checksum is wrong. */
  static void check(Directory directory) throws IOException {
    try (DirectoryReader reader = DirectoryReader.open(directory)) {
      for (LeafReaderContext leaf : reader.leaves()) {
        try (Blocks blocks = blocks(directory, leaf.reader())) {
          blocks.checkIntegrity();
        } catch (NoSuchFileException e) {
          // A search does without.
        }
      }
      if (!reader.leaves().isEmpty()) {
        try {
          ranks(directory, IdRanks.largest(reader).reader());
        } catch (NoSuchFileException e) {
          // A search does without.
        }
      }
    }
  }
}
