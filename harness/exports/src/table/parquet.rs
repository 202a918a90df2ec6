//! Tables as Parquet files of one row group, every column optional.

use std::sync::Arc;

use ::parquet::basic::{Compression, ConvertedType, Repetition, Type as Kind};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::Type;

use super::{Table, Values};
use crate::{Batch, ExportError};

/// The table; what the batch is stands in the file's metadata.
///
/// # Errors
/// When the writer refuses.
pub fn parquet(table: &Table, batch: &Batch) -> Result<Vec<u8>, ExportError> {
    let fields = table.columns.iter().map(|(name, values)| {
        let (kind, converted) = match values {
            Values::Texts(_) => (Kind::BYTE_ARRAY, ConvertedType::UTF8),
            Values::Numbers(_) => (Kind::DOUBLE, ConvertedType::NONE),
            Values::Counts(_) => (Kind::INT64, ConvertedType::NONE),
            Values::Flags(_) => (Kind::BOOLEAN, ConvertedType::NONE),
        };
        let field = Type::primitive_type_builder(name, kind)
            .with_repetition(Repetition::OPTIONAL)
            .with_converted_type(converted);
        Ok(Arc::new(field.build()?))
    });
    let fields = fields.collect::<Result<Vec<_>, ExportError>>()?;
    let schema = Type::group_type_builder(table.name).with_fields(fields).build()?;
    let told = [
        ("palimpsest.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("palimpsest.name", Some(batch.name.clone())),
        ("palimpsest.suite_digest", batch.suite_digest.clone()),
    ];
    let told = told
        .into_iter()
        .filter_map(|(name, value)| Some(KeyValue { key: name.to_owned(), value: Some(value?) }));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("palimpsest version {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(told.collect()))
        .build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (_, values) in &table.columns {
        let Some(mut column) = group.next_column()? else { break };
        match values {
            Values::Texts(all) => {
                let of = |text: &String| ByteArray::from(text.as_str());
                write::<ByteArrayType, _>(&mut column, all, of)?;
            }
            Values::Numbers(all) => write::<DoubleType, _>(&mut column, all, |value| *value)?,
            Values::Counts(all) => {
                // Counts and moments stay far below 2^63.
                let of = |value: &u64| i64::try_from(*value).unwrap_or(i64::MAX);
                write::<Int64Type, _>(&mut column, all, of)?;
            }
            Values::Flags(all) => write::<BoolType, _>(&mut column, all, |value| *value)?,
        }
        column.close()?;
    }
    group.close()?;
    file.close()?;
    Ok(bytes)
}

/// Values that are there, and for every row whether it has one.
fn write<D: DataType, T>(
    column: &mut SerializedColumnWriter<'_>,
    rows: &[Option<T>],
    of: impl Fn(&T) -> D::T,
) -> Result<(), ExportError> {
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
    let values: Vec<D::T> = rows.iter().flatten().map(of).collect();
    column.typed::<D>().write_batch(&values, Some(&levels), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::Field;

    use super::*;
    use crate::sample;
    use crate::table::all;

    #[test]
    fn every_cell_reads_back_with_its_type_and_its_absence() {
        let batch = sample::batch();
        for table in all(&batch) {
            let bytes = parquet(&table, &batch).unwrap();
            assert_eq!(bytes, parquet(&table, &batch).unwrap());
            let reader = SerializedFileReader::new(bytes_of(&bytes)).unwrap();
            let told = reader.metadata().file_metadata().key_value_metadata().unwrap();
            let digest = told.iter().find(|told| told.key == "palimpsest.suite_digest").unwrap();
            assert_eq!(digest.value, batch.suite_digest);
            let mut rows = 0;
            for (row, read) in reader.get_row_iter(None).unwrap().enumerate() {
                rows += 1;
                let read = read.unwrap();
                let cells: Vec<_> = read.get_column_iter().collect();
                assert_eq!(cells.len(), table.columns.len());
                for ((name, values), (read, field)) in table.columns.iter().zip(cells) {
                    assert_eq!(name, read);
                    let wanted = match values {
                        Values::Texts(all) => all[row].clone().map(Field::Str),
                        Values::Numbers(all) => all[row].map(Field::Double),
                        Values::Counts(all) => all[row].map(|it| Field::Long(it as i64)),
                        Values::Flags(all) => all[row].map(Field::Bool),
                    };
                    assert_eq!(field, &wanted.unwrap_or(Field::Null), "{name}");
                }
            }
            assert_eq!(rows, table.columns[0].1.len());
        }
    }

    /// A file that the reader takes: it wants one that can be cloned.
    fn bytes_of(file: &[u8]) -> std::fs::File {
        use std::io::{Seek as _, Write as _};
        let mut kept = tempfile::tempfile().unwrap();
        kept.write_all(file).unwrap();
        kept.rewind().unwrap();
        kept
    }
}
