package drakkartest

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/drakkar-go/drakkar"
)

// travel takes a value through JSON, as a window's history does.
func travel[T any](v T) (out T, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(data, &out)
}

// travelResults takes results through JSON; their tasks are put back, as in
// production.
func travelResults(results []drakkar.Result) ([]drakkar.Result, error) {
	out, err := travel(results)
	if err != nil {
		return nil, fmt.Errorf("carrying results: %w", err)
	}
	for i := range out {
		out[i].Task = results[i].Task
	}
	return out, nil
}

func travelGroup(g drakkar.MessageGroup[any]) (out drakkar.MessageGroup[any], err error) {
	out = drakkar.MessageGroup[any]{Tasks: g.Tasks, StartedAt: g.StartedAt, FinishedAt: g.FinishedAt}
	if out.Results, err = travelResults(g.Results); err != nil {
		return out, err
	}
	if out.Errors, err = travel(g.Errors); err != nil {
		return out, fmt.Errorf("carrying errors: %w", err)
	}
	for i := range out.Errors {
		out.Errors[i].Result.Task = g.Errors[i].Result.Task
	}
	return out, nil
}

// encodable reports payloads that no sink could take.
func encodable(out drakkar.CollectResult) error {
	var errs []error
	check := func(kind string, i int, data any, object bool) {
		encoded, err := encode(data)
		if err == nil && object && (len(encoded) == 0 || encoded[0] != '{' || !json.Valid(encoded)) {
			err = fmt.Errorf("its data must be a JSON object, and this is %.40q", encoded)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s payload %d: %w", kind, i, err))
		}
	}
	for i, p := range out.Kafka {
		check("kafka", i, p.Data, false)
	}
	for i, p := range out.Postgres {
		check("postgres", i, p.Data, true)
	}
	for i, p := range out.Mongo {
		check("mongo", i, p.Data, true)
	}
	for i, p := range out.HTTP {
		check("http", i, p.Data, false)
	}
	for i, p := range out.Redis {
		check("redis", i, p.Data, false)
	}
	for i, p := range out.Files {
		check("filesystem", i, p.Data, false)
	}
	for i, p := range out.Custom {
		check("custom", i, p.Data, false)
	}
	return errors.Join(errs...)
}
