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

/** The block files of an index: one for each segment, named by the segment's id. */
public final class BlockFiles {
  /** What the names of all our files beside Lucene's begin with, temporary ones and the lock included. */
  private static final String PREFIX = "blocks";

  private BlockFiles() {}

  private static byte[] id(LeafReader segment) {
    return ((SegmentReader) FilterLeafReader.unwrap(segment)).getSegmentInfo().info.getId();
  }

  private static String name(LeafReader segment) {
    return PREFIX + "-" + StringHelper.idToString(id(segment));
  }

  /** The blocks of a segment, or null where there is no file, or one that cannot be used. */
  static Blocks open(Directory directory, LeafReader segment) throws IOException {
    try {
      return Blocks.open(directory, name(segment), id(segment));
    } catch (NoSuchFileException
        | CorruptIndexException
        | EOFException
        | IndexFormatTooNewException
        | IndexFormatTooOldException e) {
      return null;
    }
  }

  /**
   * Writes the files that the last commit lacks, and removes those of segments that are gone. Does nothing where
   * another process is at it.
   */
  public static Job refresh(String path, int threads) {
    return Job.start(
        job -> {
          try (Directory directory = FSDirectory.open(Path.of(path));
              Lock lock = directory.obtainLock(PREFIX + ".lock")) {
            lock.ensureValid();
            refresh(directory, threads);
          } catch (LockObtainFailedException e) {
            // The other one writes the same.
          }
          return null;
        });
  }

  private static void refresh(Directory directory, int threads) throws IOException {
    Set<String> wanted = new HashSet<>();
    wanted.add(PREFIX + ".lock");
    try (DirectoryReader reader = DirectoryReader.open(directory)) {
      for (LeafReaderContext leaf : reader.leaves()) {
        wanted.add(name(leaf.reader()));
      }
      for (String file : directory.listAll()) {
        if (file.startsWith(PREFIX) && !wanted.contains(file)) {
          directory.deleteFile(file);
        }
      }
      for (LeafReaderContext leaf : reader.leaves()) {
        Blocks there = open(directory, leaf.reader());
        if (there != null) {
          there.close();
        } else {
          BlockWriter.write(directory, leaf.reader(), id(leaf.reader()), name(leaf.reader()), threads);
        }
      }
    }
  }

  /** Reads every block file of the last commit in full; throws CorruptIndexException where a checksum is wrong. */
  static void check(Directory directory) throws IOException {
    try (DirectoryReader reader = DirectoryReader.open(directory)) {
      for (LeafReaderContext leaf : reader.leaves()) {
        try (Blocks blocks = Blocks.open(directory, name(leaf.reader()), id(leaf.reader()))) {
          blocks.checkIntegrity();
        } catch (NoSuchFileException e) {
          // A search does without.
        }
      }
    }
  }
}
