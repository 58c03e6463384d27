package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// S3Store is a bucket that windows.store names.
type S3Store struct {
	Bucket   string
	Prefix   string
	Region   string // empty: that of the environment
	Endpoint string // empty: Amazon's

	// PathStyle puts the bucket into the path of requests to Endpoint, not into
	// its host name.
	PathStyle bool
}

// S3 reads windows.store as the address of a bucket. ok is false when it is a
// directory or empty. The error does not repeat the address, which may hold a
// password.
func (w Windows) S3() (s S3Store, ok bool, err error) {
	if !strings.Contains(w.Store, "://") {
		return S3Store{}, false, nil
	}
	u, err := url.Parse(w.Store)
	switch {
	case err != nil:
		return S3Store{}, true, errors.New("is not an address that can be read, want s3://bucket/prefix?region=name")
	case u.Scheme != "s3":
		return S3Store{}, true, fmt.Errorf("begins with %s://, want a directory or s3://bucket/prefix", u.Scheme)
	case u.User != nil:
		return S3Store{}, true, errors.New("must not hold credentials: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role")
	case u.Host == "" || u.Port() != "":
		return S3Store{}, true, errors.New("names no bucket, want s3://bucket/prefix; the address of a service goes into ?endpoint=")
	}
	s = S3Store{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), PathStyle: true}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return S3Store{}, true, errors.New("has options that cannot be read, want ?region=name&endpoint=address")
	}
	for name, values := range query {
		if err := s.option(name, values[len(values)-1]); err != nil {
			return S3Store{}, true, err
		}
	}
	return s, true, nil
}

func (s *S3Store) option(name, value string) (err error) {
	switch name {
	case "region":
		s.Region = value
	case "endpoint":
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return errors.New("has an endpoint that is not of the form http://host:port or https://host:port")
		}
		s.Endpoint = value
	case "path_style":
		if s.PathStyle, err = strconv.ParseBool(value); err != nil {
			return errors.New("has a path_style that is neither true nor false")
		}
	default:
		return fmt.Errorf("has the option %s, there are region, endpoint and path_style", quote(name))
	}
	return nil
}

// store checks windows.store.
func (v *validator) store(w Windows) {
	if _, _, err := w.S3(); err != nil {
		v.refuse(setting("windows.store"), "%s", err)
	}
}
