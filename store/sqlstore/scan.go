package sqlstore

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/eventsource-go/eventsource"
)

// The columns of a page, in their order.
const (
	columnSequenceID = iota
	columnAggregateID
	columnVersion
	columnType
	columnTimestamp
	columnUserID
	columnData
	columnMetadata
	columns
)

// recordReader turns the rows of a page into records.
type recordReader struct {
	rows pgx.Rows
	// raw is true if the values are as readRaw needs them. They are, unless the
	// connection was set up for the simple protocol.
	raw bool
	// last is the record before. Types and users repeat, and are then shared.
	last eventsource.Record
}

func newRecordReader(rows pgx.Rows) *recordReader {
	fields := rows.FieldDescriptions()
	isBinary := func(column int, oid uint32) bool {
		return fields[column].Format == pgtype.BinaryFormatCode && fields[column].DataTypeOID == oid
	}
	return &recordReader{rows: rows, raw: len(fields) == columns &&
		isBinary(columnVersion, pgtype.Int8OID) && isBinary(columnTimestamp, pgtype.Int8OID) && isBinary(columnData, pgtype.ByteaOID) &&
		fields[columnMetadata].Format == pgtype.TextFormatCode}
}

// read reads the row that the rows are at.
func (rr *recordReader) read() (eventsource.Record, error) {
	if !rr.raw {
		return rr.scan()
	}
	r, err := rr.readRaw()
	rr.last = r
	return r, err
}

func (rr *recordReader) scan() (r eventsource.Record, err error) {
	err = rr.rows.Scan(&r.SequenceID, &r.AggregateID, &r.Version, &r.Type, &r.Timestamp, &r.UserID, &r.Data, &r.Metadata)
	return r, err
}

// readRaw does what Scan would, with two allocations for most records instead of
// one a column.
func (rr *recordReader) readRaw() (r eventsource.Record, err error) {
	values := rr.rows.RawValues()
	if len(values[columnVersion]) != 8 || len(values[columnTimestamp]) != 8 {
		return r, fmt.Errorf("a version of %d bytes and a timestamp of %d, not 8", len(values[columnVersion]), len(values[columnTimestamp]))
	}
	sequenceID := len(values[columnSequenceID])
	ids := string(append(append(make([]byte, 0, 128), values[columnSequenceID]...), values[columnAggregateID]...))
	r.SequenceID, r.AggregateID = ids[:sequenceID], ids[sequenceID:]
	r.Version = int(binary.BigEndian.Uint64(values[columnVersion]))
	r.Timestamp = int64(binary.BigEndian.Uint64(values[columnTimestamp]))
	r.Type, r.UserID = rr.last.Type, rr.last.UserID
	if r.Type != string(values[columnType]) {
		r.Type = string(values[columnType])
	}
	if r.UserID != string(values[columnUserID]) {
		r.UserID = string(values[columnUserID])
	}
	r.Data = append(make([]byte, 0, len(values[columnData])), values[columnData]...)
	if values[columnMetadata] != nil {
		r.Metadata, err = readMetadata(values[columnMetadata])
	}
	return r, err
}

func readMetadata(value []byte) (metadata map[string]string, err error) {
	err = json.Unmarshal(value, &metadata)
	return metadata, err
}
